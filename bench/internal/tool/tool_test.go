package tool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommands(t *testing.T) {
	dir := t.TempDir()
	whole := Job{From: "src:1", To: []string{"dst:1", "dst:2"}, Repositories: []Repository{{Name: "a/b", Tags: []string{"1", "2"}}}, Dir: dir}
	named := whole
	named.To, named.Repositories, named.CA = []string{"dst:1"}, []Repository{{Name: "a/b", Tags: []string{"1"}, ByTag: true}}, "ca.pem"
	for _, test := range []struct {
		tool *Tool
		job  Job
		want string // the commands, without the folder
		file string // a file that they read, and what it has
		has  string
	}{
		{regsync(), whole, "/bin/x sync -c DIR/regsync.yaml --state DIR/state --store DIR/store --quiet", "regsync.yaml", "- src:1/a/b\n"},
		{regsync(), named, "/bin/x sync -c DIR/regsync.yaml --state DIR/state --store DIR/store --quiet", "regsync.yaml", "- src:1/a/b:1\n"},
		{
			regclient(), whole, "/bin/x once -c DIR/regclient.yaml --verbosity warn", "regclient.yaml",
			`{source: "src:1/a/b", target: "dst:2/a/b", type: repository}`,
		},
		{regclient(), named, "/bin/x once -c DIR/regclient.yaml --verbosity warn", "regclient.yaml", `{registry: "dst:1", tls: enabled`},
		{crane(), whole, "/bin/x copy --jobs 8 --all-tags src:1/a/b dst:1/a/b\n/bin/x copy --jobs 8 --all-tags src:1/a/b dst:2/a/b", "", ""},
		{crane(), named, "/bin/x copy --jobs 8 src:1/a/b:1 dst:1/a/b:1", "", ""},
		{oras(), named, "/bin/x cp --no-tty --concurrency 8 src:1/a/b:1 dst:1/a/b:1", "", ""},
		{
			skopeo(), named, "/bin/x --policy DIR/policy.json copy --all --preserve-digests --src-tls-verify=true --dest-tls-verify=true " +
				"docker://src:1/a/b:1 docker://dst:1/a/b:1", "policy.json", "insecureAcceptAnything",
		},
	} {
		test.tool.path = "/bin/x"
		b, err := test.tool.Batch(test.job)
		if err != nil {
			t.Fatal(err)
		}
		var lines []string
		for _, command := range b.Commands {
			lines = append(lines, strings.ReplaceAll(strings.Join(command, " "), dir, "DIR"))
		}
		if got := strings.Join(lines, "\n"); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.tool.Name, got, test.want)
		}
		if test.file == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, test.file))
		if err != nil || !strings.Contains(string(text), test.has) {
			t.Errorf("%s: %s lacks %q: %v\n%s", test.tool.Name, test.file, test.has, err, text)
		}
	}
}
