package auth

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
)

// FromEnvironment looks where Docker and Podman look, in this order: the variable
// DOCKER_AUTH_CONFIG, docker's config.json, podman's auth.json. Pass os.Getenv.
func FromEnvironment(env func(string) string) Store {
	var stores chain
	if value := env("DOCKER_AUTH_CONFIG"); value != "" {
		stores = append(stores, newFile("DOCKER_AUTH_CONFIG", func() (*document, error) {
			return parseDocument("DOCKER_AUTH_CONFIG", []byte(value))
		}))
	}
	if docker, err := DockerFile(env); err == nil {
		stores = append(stores, docker)
	}
	for _, path := range podmanFiles(env) {
		stores = append(stores, NewFile(path))
	}
	return stores
}

// DockerFile is docker's config.json, in $DOCKER_CONFIG or in .docker of the home
// directory. It need not exist. It is an error if neither directory is known.
func DockerFile(env func(string) string) (*File, error) {
	if dir := env("DOCKER_CONFIG"); dir != "" {
		return NewFile(filepath.Join(dir, "config.json")), nil
	}
	if home := homeDir(env); home != "" {
		return NewFile(filepath.Join(home, ".docker", "config.json")), nil
	}
	return nil, errors.New("find docker's config.json: neither DOCKER_CONFIG nor HOME is set")
}

// podmanFiles are the files that podman reads (containers-auth.json(5)): where
// REGISTRY_AUTH_FILE names one, only that.
func podmanFiles(env func(string) string) []string {
	if file := env("REGISTRY_AUTH_FILE"); file != "" {
		return []string{file}
	}
	runtime := env("XDG_RUNTIME_DIR")
	if runtime != "" {
		runtime = filepath.Join(runtime, "containers")
	} else {
		runtime = filepath.Join("/run/containers", strconv.Itoa(os.Getuid()))
	}
	files := []string{filepath.Join(runtime, "auth.json")}
	config := env("XDG_CONFIG_HOME")
	if home := homeDir(env); config == "" && home != "" {
		config = filepath.Join(home, ".config")
	}
	if config != "" {
		files = append(files, filepath.Join(config, "containers", "auth.json"))
	}
	return files
}

func homeDir(env func(string) string) string {
	if home := env("HOME"); home != "" {
		return home
	}
	return env("USERPROFILE") // Windows
}
