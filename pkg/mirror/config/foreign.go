package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// foreign records that a file is that of another tool, once and not key by key, and reports
// whether it is one. It looks at keys only: half of such a file may look like ours.
func (d *decoder) foreign(root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode || len(root.Content) == 0 {
		return false
	}
	for _, tool := range []struct {
		name string
		find func(root *yaml.Node) *yaml.Node
	}{
		{"regclient's regsync", regclient},
		{"dregsy", dregsy},
		{"skopeo sync", skopeoSync},
		{"image-syncer", imageSyncer},
	} {
		if at := tool.find(root); at != nil {
			d.suggest(at, "see docs/configuration.md",
				"this is the format of %s; `regsync config import` will read it in a later version", tool.name)
			return true
		}
	}
	return false
}

// regclient recognises `creds`, and entries with `source` and `target` or `type`.
func regclient(root *yaml.Node) *yaml.Node {
	if creds := keyOf(root, "creds"); creds != nil && keyOf(root, "registries") == nil {
		return creds
	}
	sync := valueOf(root, "sync")
	if sync == nil || sync.Kind != yaml.SequenceNode {
		return nil
	}
	for _, entry := range sync.Content {
		source := keyOf(entry, "source")
		if source != nil && keyOf(entry, "from") == nil && (keyOf(entry, "target") != nil || keyOf(entry, "type") != nil) {
			return source
		}
	}
	return nil
}

// dregsy recognises `tasks` with `mappings`, and `relay`.
func dregsy(root *yaml.Node) *yaml.Node {
	if keyOf(root, "version") != nil || keyOf(root, "sync") != nil {
		return nil
	}
	if relay := keyOf(root, "relay"); relay != nil {
		return relay
	}
	tasks := valueOf(root, "tasks")
	if tasks == nil || tasks.Kind != yaml.SequenceNode {
		return nil
	}
	for _, task := range tasks.Content {
		if keyOf(task, "mappings") != nil {
			return keyOf(root, "tasks")
		}
	}
	return nil
}

// skopeoSync recognises hosts as keys, with their images below.
func skopeoSync(root *yaml.Node) *yaml.Node {
	if keyOf(root, "version") != nil || keyOf(root, "sync") != nil {
		return nil
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		for _, key := range []string{"images", "images-by-tag-regex", "images-by-semver"} {
			if images := valueOf(root.Content[i+1], key); images != nil && images.Kind == yaml.MappingNode {
				return root.Content[i]
			}
		}
	}
	return nil
}

// imageSyncer recognises `auth` and `images` in one file, or the registries and the images
// themselves as keys.
func imageSyncer(root *yaml.Node) *yaml.Node {
	if keyOf(root, "auth") != nil && keyOf(root, "images") != nil {
		return root
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if !strings.ContainsAny(root.Content[i].Value, "./") {
			return nil
		}
	}
	return root
}

// keyOf is the node of a key of a mapping, valueOf that of its value; nil where there is none.
func keyOf(n *yaml.Node, key string) *yaml.Node {
	name, _ := lookUp(n, key)
	return name
}

func valueOf(n *yaml.Node, key string) *yaml.Node {
	_, value := lookUp(n, key)
	return value
}

func lookUp(n *yaml.Node, key string) (name, value *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i], n.Content[i+1]
		}
	}
	return nil, nil
}
