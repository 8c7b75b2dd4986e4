package tool

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/regsync/regsync/bench/internal/launch"
)

func regsync() *Tool {
	return &Tool{
		Name: "regsync", Stateful: true,
		Settings: "one configuration, the defaults",
		batch: func(path string, j Job) (launch.Batch, error) {
			var config strings.Builder
			fmt.Fprintf(&config, "version: 1\nsync:\n  - to:\n")
			for _, to := range j.To {
				fmt.Fprintf(&config, "      - %q\n", to+"/{{.Repository}}")
			}
			fmt.Fprint(&config, "    from:\n")
			for _, r := range j.Repositories {
				for _, reference := range r.references() {
					fmt.Fprintf(&config, "      - %s/%s\n", j.From, reference)
				}
			}
			file, err := write(j, "regsync.yaml", config.String())
			args := []string{path, "sync", "-c", file, "--state", filepath.Join(j.Dir, "state"), "--store", filepath.Join(j.Dir, "store"), "--quiet"}
			return launch.Batch{Commands: [][]string{args}, Parallel: 1}, err
		},
	}
}

// references are the names of a repository's images: of each tag, or of the repository.
func (r Repository) references() []string {
	if !r.ByTag {
		return []string{r.Name}
	}
	var all []string
	for _, tag := range r.Tags {
		all = append(all, r.Name+":"+tag)
	}
	return all
}

func regclient() *Tool {
	return &Tool{
		Name:     "regclient",
		Settings: "regsync once, parallel: 20, reqConcurrent: 32",
		batch: func(path string, j Job) (launch.Batch, error) {
			tls := "disabled"
			if j.CA != "" {
				tls = "enabled"
			}
			var config strings.Builder
			fmt.Fprint(&config, "version: 1\ncreds:\n")
			for _, host := range append([]string{j.From}, j.To...) {
				fmt.Fprintf(&config, "  - {registry: %q, tls: %s, reqConcurrent: 32}\n", host, tls)
			}
			fmt.Fprint(&config, "defaults: {parallel: 20}\nsync:\n")
			for _, to := range j.To {
				for _, r := range j.Repositories {
					kind := "repository"
					if r.ByTag {
						kind = "image"
					}
					for _, reference := range r.references() {
						fmt.Fprintf(&config, "  - {source: %q, target: %q, type: %s}\n", j.From+"/"+reference, to+"/"+reference, kind)
					}
				}
			}
			file, err := write(j, "regclient.yaml", config.String())
			return launch.Batch{Commands: [][]string{{path, "once", "-c", file, "--verbosity", "warn"}}, Parallel: 1}, err
		},
	}
}

func crane() *Tool {
	return &Tool{
		Name:     "crane",
		Settings: "8 processes at a time, --jobs 8",
		batch: func(path string, j Job) (launch.Batch, error) {
			b := launch.Batch{Parallel: 8}
			for _, r := range j.Repositories {
				for _, to := range j.To {
					if !r.ByTag {
						b.Commands = append(b.Commands, []string{path, "copy", "--all-tags", "--jobs", "8", j.From + "/" + r.Name, to + "/" + r.Name})
						continue
					}
					for _, reference := range r.references() {
						b.Commands = append(b.Commands, []string{path, "copy", "--jobs", "8", j.From + "/" + reference, to + "/" + reference})
					}
				}
			}
			return b, nil
		},
	}
}

func oras() *Tool {
	return &Tool{
		Name:     "oras",
		Settings: "cp, one process an image, 8 at a time, --concurrency 8",
		batch: func(path string, j Job) (launch.Batch, error) {
			b := launch.Batch{Parallel: 8}
			args := []string{path, "cp", "--no-tty", "--concurrency", "8"}
			if j.CA == "" {
				args = append(args, "--from-plain-http", "--to-plain-http")
			}
			for _, r := range j.Repositories {
				for _, to := range j.To {
					for _, tag := range r.Tags {
						name := r.Name + ":" + tag
						b.Commands = append(b.Commands, append(slices.Clip(args), j.From+"/"+name, to+"/"+name))
					}
				}
			}
			return b, nil
		},
	}
}

func skopeo() *Tool {
	return &Tool{
		Name:     "skopeo",
		Settings: "sync --all from one file; it has no setting for images at a time",
		batch: func(path string, j Job) (launch.Batch, error) {
			policy, err := write(j, "policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
			if err != nil {
				return launch.Batch{}, err
			}
			// It drops all of a name but its last part, so that each namespace needs a run.
			b := launch.Batch{Parallel: 8}
			namespaces := map[string]string{}
			for _, r := range j.Repositories {
				namespace, _, _ := strings.Cut(r.Name, "/")
				text := namespaces[namespace] + fmt.Sprintf("    %q: [", r.Name)
				if r.ByTag {
					text += strings.Join(quoted(r.Tags), ", ")
				}
				namespaces[namespace] = text + "]\n"
			}
			for namespace, images := range namespaces {
				file, err := write(j, "skopeo-"+namespace+".yaml", fmt.Sprintf("%q:\n  tls-verify: %t\n  images:\n%s", j.From, j.CA != "", images))
				if err != nil {
					return launch.Batch{}, err
				}
				for _, to := range j.To {
					b.Commands = append(b.Commands, []string{
						path, "--policy", policy, "sync", "--all", "--src", "yaml", "--dest", "docker",
						fmt.Sprintf("--dest-tls-verify=%t", j.CA != ""), file, to + "/" + namespace,
					})
				}
			}
			return b, nil
		},
	}
}

func quoted(texts []string) []string {
	var all []string
	for _, text := range texts {
		all = append(all, fmt.Sprintf("%q", text))
	}
	return all
}

// write writes a file into the working folder, and returns its path.
func write(j Job, name, text string) (string, error) {
	path := filepath.Join(j.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
