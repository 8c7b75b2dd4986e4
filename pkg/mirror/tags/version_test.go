package tags

import (
	"cmp"
	"testing"
)

func version(t *testing.T, tag string) Version {
	t.Helper()
	v, ok := ParseVersion(tag)
	if !ok {
		t.Fatalf("%q is no version", tag)
	}
	return v
}

func TestParseVersion(t *testing.T) {
	tests := []struct {
		tag     string
		pre     bool
		suffix  string
		variant string
	}{
		{tag: "1"},
		{tag: "v1"},
		{tag: "1.2"},
		{tag: "1.2.3"},
		{tag: "1.2.3.4"},
		{tag: "10.0.20348.2227"},
		{tag: "24.04"},
		{tag: "2024.01.15"},
		{tag: "2024-01-15"},
		{tag: "20240115"},
		{tag: "1.2.3-rc.1", pre: true},
		{tag: "1.2.3-rc1", pre: true},
		{tag: "1.2.3-RC1", pre: true},
		{tag: "8.4.0RC1", pre: true},
		{tag: "3.13.0a4", pre: true},
		{tag: "3.13.0b1", pre: true},
		{tag: "3.13.0rc2", pre: true},
		{tag: "3.13-rc", pre: true},
		{tag: "15beta3", pre: true},
		{tag: "17-rc1", pre: true},
		{tag: "1.27-M1", pre: true},
		{tag: "11.0.0-M26-jdk21", pre: true, suffix: "jdk21", variant: "jdk21"},
		{tag: "1.2.3-SNAPSHOT", pre: true},
		{tag: "2024.2.0.dev20240115", pre: true},
		{tag: "1.2.3-dev.20240101.abc123", pre: true},
		{tag: "1.2.3-nightly-20240115", pre: true},
		{tag: "1.2.3-canary.4", pre: true},
		{tag: "9.0.100-preview.7-alpine3.20", pre: true, suffix: "alpine3.20", variant: "alpine3.20"},
		{tag: "3.13.0rc2-slim-bookworm", pre: true, suffix: "slim-bookworm", variant: "slim-bookworm"},
		{tag: "3.13-rc-alpine", pre: true, suffix: "alpine", variant: "alpine"},
		{tag: "1.27.4-alpine", suffix: "alpine", variant: "alpine"},
		{tag: "1.27.4-alpine3.21-slim", suffix: "alpine3.21-slim", variant: "alpine3.21-slim"},
		{tag: "1.27.4-debian-12-r4", suffix: "debian-12-r4", variant: "debian-12-*"},
		{tag: "2.12.7-r0", suffix: "r0", variant: "*"},
		{tag: "2.12.7_r1", suffix: "r1", variant: "*"},
		{tag: "1.26.2-r0-ls301", suffix: "r0-ls301", variant: "*-*"},
		{tag: "2.13.0-pg16", suffix: "pg16", variant: "pg16"},
		{tag: "3.12-windowsservercore-1809", suffix: "windowsservercore-1809", variant: "windowsservercore-1809"},
		{tag: "26.0.7-0", suffix: "0", variant: "*"},
		{tag: "21.0.2_13-jdk", suffix: "13-jdk", variant: "*-jdk"},
		{tag: "12.8-bookworm-20240110", suffix: "bookworm-20240110", variant: "bookworm-*"},
		{tag: "1.4.2-5-g1a2b3c4", suffix: "5-g1a2b3c4", variant: "*-*"},
		{tag: "2022-CU14-ubuntu-22.04", suffix: "CU14-ubuntu-22.04", variant: "*-ubuntu-22.04"},
		{tag: "12.2.0-devel-ubuntu22.04", suffix: "devel-ubuntu22.04", variant: "devel-ubuntu22.04"},
		{tag: "11.0.2-b9", suffix: "b9", variant: "*"},
		{tag: "5.3.30.RELEASE", suffix: "RELEASE", variant: "RELEASE"},
	}
	for _, test := range tests {
		v := version(t, test.tag)
		if v.IsPrerelease() != test.pre || v.Suffix() != test.suffix || v.Variant() != test.variant {
			t.Errorf("%s: pre-release %v, suffix %q, variant %q; want %v, %q, %q", test.tag,
				v.IsPrerelease(), v.Suffix(), v.Variant(), test.pre, test.suffix, test.variant)
		}
	}
}

func TestParseVersionRefuses(t *testing.T) {
	for _, tag := range []string{
		"", "v", "latest", "alpine", "jammy-20240111", "RELEASE.2024-01-16T16-07-38Z", "release-1.2",
		"1.1.1w", "2024a", "7c3f2a1", "7b1", "8u402-b06-jre-jammy", "1.2.", "1.2-", "1..2", "1.2--x",
		"1.25alpine", "1.2.3beta1x", "1234567890123456789", "1.2.3devel", "٣.٤",
	} {
		if v, ok := ParseVersion(tag); ok {
			t.Errorf("%q is taken for the version %+v", tag, v)
		}
	}
}

// TestCompare has each line in ascending order.
func TestCompare(t *testing.T) {
	for _, line := range [][]string{
		{"1.2", "1.9", "1.10", "1.25", "2"},
		{"1.2.3", "1.2.3.4", "1.2.3.10", "1.2.4"},
		{"10.0.17763.1", "10.0.20348.2227", "10.0.20348.10000"},
		{"24.04", "24.10", "25.04"},
		{"2024.01.15", "2024.1.16", "2024.02.01", "2024.11.2"},
		{"2023-12-31", "2024-01-15", "2024-02-01"},
		{
			"3.13.0-nightly", "3.13.0a4", "3.13.0a10", "3.13.0-beta.1", "3.13.0b2", "3.13.0-M1",
			"3.13.0-preview.1", "3.13.0rc1", "3.13.0-rc.2", "3.13.0", "3.13.1a1",
		},
		{"1.2.0-rc", "1.2.0-rc.1", "1.2.0-rc.1.5", "1.2.0-rc.1.x"},
		{"15beta3", "15rc1", "15", "15.0.1"},
		{"1.2.3", "1.2.3-debian-12-r4", "1.2.3-debian-12-r10", "1.2.4-debian-11-r0"},
		{"2.12.7-r0", "2.12.7-r2", "2.12.7-r11"},
		{"21.0.2_9-jdk", "21.0.2_13-jdk"},
		{"1.2.3-alpine3.9", "1.2.3-alpine3.19"},
	} {
		for i := range line {
			for j := range line {
				got, want := version(t, line[i]).Compare(version(t, line[j])), cmp.Compare(i, j)
				if got != want {
					t.Errorf("%s against %s: %d, want %d", line[i], line[j], got, want)
				}
			}
		}
	}
}

func TestCompareEqual(t *testing.T) {
	for _, pair := range [][2]string{
		{"1.2", "1.2.0"}, {"1", "v1.0.0.0"}, {"2024.01.15", "2024.1.15"}, {"2024-01-15", "2024.1.15"},
		{"1.2.0rc1", "1.2.0-rc.1"}, {"3.13.0a4", "3.13.0-alpha.4"}, {"1.2.0-M1", "1.2.0.m1"},
	} {
		if c := version(t, pair[0]).Compare(version(t, pair[1])); c != 0 {
			t.Errorf("%s against %s: %d", pair[0], pair[1], c)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	for _, tag := range []string{"v1.2.3-rc.1-alpine3.19", "2024-01-15", "3.13.0a4", "1.27.4-debian-12-r4", "1.0.0-dev.1.x-y", "latest"} {
		f.Add(tag, "1.2.3")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		v, ok := ParseVersion(a)
		if !ok {
			return
		}
		_ = v.Variant()
		if same, _ := ParseVersion(a); v.Compare(same) != 0 {
			t.Errorf("%q differs from itself", a)
		}
		w, ok := ParseVersion(b)
		if ok && v.Compare(w) != -w.Compare(v) {
			t.Errorf("%q and %q are not in one order", a, b)
		}
	})
}
