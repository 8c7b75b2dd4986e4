package content

import (
	"fmt"
	"runtime"
	"strings"
)

// ParsePlatform reads "os/arch" or "os/arch/variant", the form that Docker's --platform
// takes; "arm64" alone means linux. Docker's aliases for architectures are understood.
func ParsePlatform(s string) (Platform, error) {
	parts := strings.Split(strings.ToLower(strings.TrimSpace(s)), "/")
	if len(parts) == 1 {
		parts = []string{"linux", parts[0]}
	}
	for _, part := range parts {
		if part == "" || strings.Trim(part, "abcdefghijklmnopqrstuvwxyz0123456789_-.") != "" {
			return Platform{}, fmt.Errorf("platform %q: want os/arch or os/arch/variant, as linux/arm64", s)
		}
	}
	switch len(parts) {
	case 2:
		return normalize(Platform{OS: parts[0], Architecture: parts[1]}), nil
	case 3:
		return normalize(Platform{OS: parts[0], Architecture: parts[1], Variant: parts[2]}), nil
	default:
		return Platform{}, fmt.Errorf("platform %q: want os/arch or os/arch/variant, as linux/arm64", s)
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
	s := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		s += "/" + p.Variant
	}
	return s
}

// HostPlatform is what images run on here: always a Linux, as for Docker.
func HostPlatform() Platform {
	return normalize(Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// MatchPlatform reports whether have is what want asks for. A want without a variant takes
// every variant: linux/arm64 matches linux/arm64/v8.
func MatchPlatform(want, have Platform) bool {
	want, have = normalize(want), normalize(have)
	return want.OS == have.OS && want.Architecture == have.Architecture &&
		(want.Variant == "" || want.Variant == have.Variant) &&
		(want.OSVersion == "" || want.OSVersion == have.OSVersion)
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
