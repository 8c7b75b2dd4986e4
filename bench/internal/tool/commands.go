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
		Settings: "one configuration, the defaults; tls: disabled where the registries have none, as for the others",
		batch: func(path string, j Job) (launch.Batch, error) {
			var config strings.Builder
			fmt.Fprint(&config, "version: 1\n")
			if j.CA == "" {
				fmt.Fprint(&config, "registries:\n")
				for _, host := range append([]string{j.From}, j.To...) {
					fmt.Fprintf(&config, "  %q: {tls: disabled}\n", host)
				}
			}
			fmt.Fprint(&config, "sync:\n  - to:\n")
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
		Settings: "regsync once, parallel: 20, reqConcurrent: 64",
		batch: func(path string, j Job) (launch.Batch, error) {
			tls := "disabled"
			if j.CA != "" {
				tls = "enabled"
			}
			var config strings.Builder
			fmt.Fprint(&config, "version: 1\ncreds:\n")
			for _, host := range append([]string{j.From}, j.To...) {
				fmt.Fprintf(&config, "  - {registry: %q, tls: %s, reqConcurrent: 64}\n", host, tls)
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
		Settings: "copy --all-tags, one process a repository, or copy, one an image; 8 processes at a time, --jobs 8; over a line 20, --jobs 16",
		batch: func(path string, j Job) (launch.Batch, error) {
			b, jobs := launch.Batch{Parallel: 8}, "8"
			if j.Distant {
				b.Parallel, jobs = 20, "16"
			}
			for _, r := range j.Repositories {
				args := []string{path, "copy", "--jobs", jobs}
				if !r.ByTag {
					args = append(args, "--all-tags")
				}
				for _, reference := range r.references() {
					for _, to := range j.To {
						b.Commands = append(b.Commands, append(slices.Clip(args), j.From+"/"+reference, to+"/"+reference))
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
		Settings: "cp, one process an image, 64 at a time, --concurrency 8",
		batch: func(path string, j Job) (launch.Batch, error) {
			b := launch.Batch{Parallel: 64}
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
		Settings: "sync or copy with --all --preserve-digests, one process a repository or image, 20 at a time",
		batch: func(path string, j Job) (launch.Batch, error) {
			policy, err := write(j, "policy.json", `{"default": [{"type": "insecureAcceptAnything"}]}`)
			b := launch.Batch{Parallel: 20}
			verify := j.CA != ""
			args := func(verb string) []string {
				return []string{
					path, "--policy", policy, verb, "--all", "--preserve-digests",
					fmt.Sprintf("--src-tls-verify=%t", verify), fmt.Sprintf("--dest-tls-verify=%t", verify),
				}
			}
			for _, to := range j.To {
				for _, r := range j.Repositories {
					if !r.ByTag { // the destination is named without the last part
						from, namespace := j.From+"/"+r.Name, to+"/"+r.Name[:strings.LastIndex(r.Name, "/")]
						b.Commands = append(b.Commands, append(args("sync"), "--src", "docker", "--dest", "docker", from, namespace))
						continue
					}
					for _, reference := range r.references() {
						b.Commands = append(b.Commands, append(args("copy"), "docker://"+j.From+"/"+reference, "docker://"+to+"/"+reference))
					}
				}
			}
			return b, err
		},
	}
}

func write(j Job, name, text string) (string, error) {
	path := filepath.Join(j.Dir, name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
