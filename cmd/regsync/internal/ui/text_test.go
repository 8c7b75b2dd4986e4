package ui

import "testing"

func TestTruncate(t *testing.T) {
	for _, test := range []struct {
		in          string
		columns     int
		right, left string
	}{
		{"nginx", 5, "nginx", "nginx"},
		{"nginx", 4, "ngi…", "…inx"},
		{"nginx", 1, "…", "…"},
		{"nginx", 0, "", ""},
		{"镜像仓库", 8, "镜像仓库", "镜像仓库"},
		{"镜像仓库", 7, "镜像仓…", "…像仓库"},
		{"镜像仓库", 6, "镜像…", "… 仓库"},
	} {
		if got := truncate(test.in, test.columns); got != test.right {
			t.Errorf("truncate(%q, %d) = %q, want %q", test.in, test.columns, got, test.right)
		}
		if got := truncateLeft(test.in, test.columns); got != test.left {
			t.Errorf("truncateLeft(%q, %d) = %q, want %q", test.in, test.columns, got, test.left)
		}
	}
}

// In a window of 40 columns, the rows of two registries that receive the same tag were alike: both were …am/app:1.2.
func TestShortNamesStayDifferent(t *testing.T) {
	for _, test := range []struct{ names, want []string }{
		{[]string{"a.corp/team/app:1.2", "b.corp/team/app:1.2"}, []string{"a.corp/…p:1.2", "b.corp/…p:1.2"}},
		{[]string{"harbor-east.corp/app:1.2", "harbor-west.corp/app:1.2"}, []string{"…east.c…p:1.2", "…west.c…p:1.2"}},
		{[]string{"a.corp/team/app:1.2", "a.corp/team/web:1.2"}, []string{"…team/app:1.2", "…team/web:1.2"}},
		{[]string{"a.corp/team/app:1.2", "a.corp/team/app:1.2"}, []string{"…team/app:1.2", "…team/app:1.2"}},
		{[]string{"a/app:1", "b/app:1"}, []string{"a/app:1", "b/app:1"}},
	} {
		short := shortNames(test.names, 13)
		for i, name := range test.names {
			if got := short[name]; got != test.want[i] || width(got) > 13 {
				t.Errorf("%s of %q: got %q, want %q", name, test.names, got, test.want[i])
			}
		}
	}
	for columns := range 13 {
		for name, got := range shortNames([]string{"a.corp/team/app:1.2", "b.corp/team/app:1.2"}, columns) {
			if width(got) > columns {
				t.Errorf("%d columns: got %q for %s", columns, got, name)
			}
		}
	}
}
