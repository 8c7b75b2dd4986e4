package content

import (
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/regsync/regsync/internal/typo"
)

// ParsePlatform reads "os/arch" or "os/arch/variant", the form that Docker's --platform
// takes; "arm64" alone means linux. A version of Windows is in parentheses, as containerd writes
// it: "windows(10.0.20348)/amd64"; crane's "windows/amd64:10.0.20348" means the same. Docker's
// aliases for architectures are understood. It is for user input: an unknown operating system or
// architecture is an error. The platforms in an index are not restricted.
func ParsePlatform(s string) (Platform, error) {
	text := strings.ToLower(strings.TrimSpace(s))
	if platform, version, ok := strings.Cut(text, ":"); ok && strings.HasPrefix(platform, "windows/") {
		text = "windows(" + version + ")" + strings.TrimPrefix(platform, "windows")
	}
	parts := strings.Split(text, "/")
	os, version, versioned := strings.Cut(parts[0], "(")
	if versioned {
		var closed bool
		version, closed = strings.CutSuffix(version, ")")
		if _, ok := parseWindowsVersion(version); !closed || !ok || os != "windows" {
			return Platform{}, fmt.Errorf("platform %q: want a Windows version of three or four numbers, such as windows(10.0.20348)/amd64", s)
		}
		parts[0] = os
	}
	if len(parts) == 1 && !slices.Contains(operatingSystems(), parts[0]) {
		parts = []string{"linux", parts[0]}
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != "" {
			return Platform{}, malformedPlatform(s)
		}
	}
	var p Platform
	switch len(parts) {
	case 2:
		p = normalize(Platform{OS: parts[0], Architecture: parts[1]})
	case 3:
		p = normalize(Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]})
	default:
		return Platform{}, malformedPlatform(s)
	}
	if err := knownName(s, "operating system", p.OS, operatingSystems()); err != nil {
		return Platform{}, err
	}
	if err := knownName(s, "architecture", p.Architecture, architectures()); err != nil {
		return Platform{}, err
	}
	p.OSVersion = version
	return p, nil
}

func malformedPlatform(s string) error {
	return fmt.Errorf("platform %q: want os/arch or os/arch/variant, such as linux/arm64", s)
}

func knownName(platform, what, name string, known []string) error {
	if slices.Contains(known, name) {
		return nil
	}
	if meant, ok := typo.Closest(name, known); ok {
		return fmt.Errorf("platform %q: unknown %s %s; did you mean %s?", platform, what, name, meant)
	}
	return fmt.Errorf("platform %q: unknown %s %s", platform, what, name)
}

// operatingSystems are the values of Go's GOOS (Go, internal/syslist), which the image
// specification takes its names from, and wasi, as Docker calls it.
func operatingSystems() []string {
	return []string{
		"linux", "windows", "darwin", "freebsd", "netbsd", "openbsd", "dragonfly", "solaris", "illumos", "aix", "zos",
		"plan9", "android", "ios", "hurd", "nacl", "js", "wasip1", "wasi",
	}
}

// architectures are the values of Go's GOARCH, the usual ones first.
func architectures() []string {
	return []string{
		"amd64", "arm64", "arm", "386", "ppc64le", "s390x", "riscv64", "loong64", "mips64le", "mips64", "mipsle", "mips",
		"ppc64", "ppc", "riscv", "s390", "sparc64", "sparc", "wasm", "amd64p32", "arm64be", "armbe", "mips64p32", "mips64p32le",
	}
}

// ParsePlatforms reads a list of platforms separated by commas.
func ParsePlatforms(s string) ([]Platform, error) {
	var platforms []Platform
	for part := range strings.SplitSeq(s, ",") {
		p, err := ParsePlatform(part)
		if err != nil {
			return nil, err
		}
		platforms = append(platforms, p)
	}
	return platforms, nil
}

// FormatPlatform is the inverse of ParsePlatform.
func FormatPlatform(p Platform) string {
	s := p.OS
	if p.OSVersion != "" {
		s += "(" + p.OSVersion + ")"
	}
	s += "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// HostPlatform is what images run on here: always a Linux, as for Docker.
func HostPlatform() Platform {
	return normalize(Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// MatchPlatform reports whether have matches want. A want without a variant takes
// every variant: linux/arm64 matches linux/arm64/v8. A want with a version of Windows takes the
// images that run on it.
func MatchPlatform(want, have Platform) bool {
	want, have = normalize(want), normalize(have)
	return want.OS == have.OS && want.Architecture == have.Architecture &&
		(want.Variant == "" || want.Variant == have.Variant) &&
		(want.OS != "windows" || runsOnWindows(want.OSVersion, have.OSVersion))
}

// PreferPlatform returns the best of the children of an index that match one platform: the one without
// a variant, or the most capable of several variants, as Docker takes linux/arm/v7 for linux/arm; of
// several Windows versions the newest, as containerd does. children must not be empty.
func PreferPlatform(children []Descriptor) Descriptor {
	best := children[0]
	for _, child := range children[1:] {
		a, b := platformOf(child), platformOf(best)
		if a.Variant != b.Variant {
			if b.Variant != "" && (a.Variant == "" || a.Variant > b.Variant) {
				best = child
			}
			continue
		}
		newer, _ := parseWindowsVersion(a.OSVersion)
		if older, _ := parseWindowsVersion(b.OSVersion); slices.Compare(newer[:], older[:]) > 0 {
			best = child
		}
	}
	return best
}

func platformOf(d Descriptor) Platform {
	if d.Platform == nil {
		return Platform{}
	}
	return *d.Platform
}

// windowsVersion is a version of Windows: major, minor, build, revision.
type windowsVersion [4]uint64

// parseWindowsVersion reads a version of at least three numbers.
func parseWindowsVersion(s string) (v windowsVersion, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) < 3 || len(parts) > len(v) {
		return windowsVersion{}, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 32)
		if err != nil {
			return windowsVersion{}, false
		}
		v[i] = n
	}
	return v, true
}

// windows2022 is the build of Windows Server 2022, the first one whose successors run its containers
// (Microsoft, "Windows container version compatibility").
const windows2022 = 20348

// runsOnWindows reports whether an image for one version of Windows runs on another, by the rules
// of containerd (platforms, platform_windows_compat.go): before Windows Server 2022 the build must
// be the host's; later hosts run every build from that one up to their own. Revisions are ignored.
// A version that is not stated matches.
func runsOnWindows(host, image string) bool {
	if host == "" || image == "" {
		return true
	}
	h, _ := parseWindowsVersion(host)
	have, ok := parseWindowsVersion(image)
	if !ok || h[0] != have[0] || h[1] != have[1] {
		return false
	}
	if h[2] < windows2022 {
		return h[2] == have[2]
	}
	return windows2022 <= have[2] && have[2] <= h[2]
}

// normalize folds the names that containerd and Docker fold. The variants v8 of arm64 and
// v1 of amd64 are what the architecture means without one.
func normalize(p Platform) Platform {
	p.OS, p.Architecture, p.Variant = strings.ToLower(p.OS), strings.ToLower(p.Architecture), strings.ToLower(p.Variant)
	switch p.Architecture {
	case "x86_64", "x86-64":
		p.Architecture = "amd64"
	case "aarch64":
		p.Architecture = "arm64"
	case "i386":
		p.Architecture = "386"
	case "armhf":
		p.Architecture, p.Variant = "arm", "v7"
	case "armel":
		p.Architecture, p.Variant = "arm", "v6"
	}
	if p.OS == "macos" {
		p.OS = "darwin"
	}
	if p.Architecture == "arm64" && p.Variant == "v8" || p.Architecture == "amd64" && p.Variant == "v1" {
		p.Variant = ""
	}
	return p
}
