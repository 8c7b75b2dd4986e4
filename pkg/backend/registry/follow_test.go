package registry

import (
	"testing"
)

func TestLocation(t *testing.T) {
	for _, test := range []struct{ host, want string }{
		{"docker.io", "docker.io"}, {"index.docker.io", "docker.io"}, {"registry-1.docker.io", "docker.io"},
		{"harbor.corp:5443", "harbor.corp:5443"}, {"harbor.corp:443", "harbor.corp"},
		{"registry.cn-hangzhou.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com"},
		{"registry-vpc.cn-hangzhou.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com"},
		{"registry-internal.cn-hangzhou.aliyuncs.com", "registry.cn-hangzhou.aliyuncs.com"},
		{"crpi-1abc-vpc.cn-beijing.personal.cr.aliyuncs.com", "crpi-1abc.cn-beijing.personal.cr.aliyuncs.com"},
		{"corp-registry-vpc.cn-shanghai.cr.aliyuncs.com", "corp-registry.cn-shanghai.cr.aliyuncs.com"},
		{"oss-vpc.cn-shanghai.aliyuncs.com", "oss-vpc.cn-shanghai.aliyuncs.com"},
		{"registry-vpc.example.com", "registry-vpc.example.com"},
	} {
		r := target(t, newClient(t, Options{}), test.host, "a/b")
		if got := r.Location(); got.Registry != test.want || got.Repository != "a/b" || got.Account != "" {
			t.Errorf("%s: got %+v, want %s", test.host, got, test.want)
		}
	}
}
