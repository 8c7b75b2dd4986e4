package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// foreign records that a file is that of another tool, once and not key by key, and reports
// whether it is one. It looks at keys only: half of such a file may look like ours.
func (d *decoder) foreign(root *yaml.Node) bool {
	tool, at := "", root
	switch creds, sync := valueOf(root, "creds"), valueOf(root, "sync"); {
	case creds != nil && valueOf(root, "registries") == nil:
		tool, at = "regclient's regsync", keyOf(root, "creds")
	case sync != nil && sync.Kind == yaml.SequenceNode:
		for _, entry := range sync.Content {
			if source := keyOf(entry, "source"); source != nil && keyOf(entry, "from") == nil &&
				(keyOf(entry, "target") != nil || keyOf(entry, "type") != nil) {
				tool, at = "regclient's regsync", source
				break
			}
		}
	case isImageSyncer(root):
		tool = "image-syncer"
	}
	if tool == "" {
		return false
	}
	d.suggest(at, "see docs/configuration.md", "this is the format of %s, which differs", tool)
	return true
}

// isImageSyncer recognises image-syncer's files: `auth` and `images` in one, or the
// registries and the images themselves as keys.
func isImageSyncer(root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode || len(root.Content) == 0 {
		return false
	}
	if keyOf(root, "auth") != nil && keyOf(root, "images") != nil {
		return true
	}
	for i := 0; i+1 < len(root.Content); i += 2 {
		if !strings.ContainsAny(root.Content[i].Value, "./") {
			return false
		}
	}
	return true
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
