package report

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
)

// Machine is what the benchmark ran on.
type Machine struct {
	CPU    string
	Cores  int
	Memory int64 // bytes
	Kernel string
	// Files is the type of the file system that the registries wrote to.
	Files string
}

// ThisMachine describes this machine, and the file system of a folder.
func ThisMachine(dir string) Machine {
	m := Machine{CPU: "unknown processor", Cores: runtime.NumCPU(), Files: "unknown"}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if name, value, _ := strings.Cut(line, ":"); strings.TrimSpace(name) == "model name" {
				m.CPU = strings.TrimSpace(value)
				break
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = strings.TrimSpace(string(text))
	}
	var info syscall.Sysinfo_t
	if syscall.Sysinfo(&info) == nil {
		m.Memory = int64(info.Totalram) * int64(info.Unit)
	}
	var files syscall.Statfs_t
	if syscall.Statfs(dir, &files) == nil {
		names := map[int64]string{0xef53: "ext4", 0x58465342: "xfs", 0x9123683e: "btrfs", 0x01021994: "tmpfs", 0x794c7630: "overlayfs"}
		if name, ok := names[files.Type]; ok {
			m.Files = name
		}
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("a machine with %d cores (%s), %d GiB of memory, Linux %s, %s", m.Cores, m.CPU, (m.Memory+1<<29)>>30, m.Kernel, m.Files)
}
