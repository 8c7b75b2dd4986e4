package answer

import (
	"net/http"
	"testing"
	"time"
)

func TestQuotaOf(t *testing.T) {
	for name, test := range map[string]struct {
		status           int
		limit, remaining string
		source           bool
		want             *Quota
	}{
		"Docker Hub":               {200, "100;w=21600", "76;w=21600", false, &Quota{76, 6 * time.Hour}},
		"none left":                {429, "100;w=21600", "0;w=21600", false, &Quota{0, 6 * time.Hour}},
		"less than none":           {200, "100;w=21600", "-1;w=21600", false, &Quota{0, 6 * time.Hour}},
		"the limit alone":          {200, "100;w=21600", "", false, &Quota{-1, 6 * time.Hour}},
		"the window once":          {200, "100;w=3600", "5", false, &Quota{5, time.Hour}},
		"refused with some left":   {429, "100;w=21600", "5;w=21600", false, nil},
		"refused, by name":         {429, "", "", true, &Quota{-1, 0}},
		"the name alone":           {200, "", "", true, nil},
		"no window":                {200, "60", "59", false, nil},
		"a window that is none":    {200, "60;w=x", "59;w=-1", false, nil},
		"a window that is too big": {200, "", "59;w=99999999999", false, nil},
		"nothing":                  {200, "", "", false, nil},
	} {
		resp := &http.Response{StatusCode: test.status, Header: http.Header{}}
		for key, value := range map[string]string{"Ratelimit-Limit": test.limit, "Ratelimit-Remaining": test.remaining} {
			if value != "" {
				resp.Header.Set(key, value)
			}
		}
		if test.source {
			resp.Header.Set("Docker-Ratelimit-Source", "192.0.2.1")
		}
		got := QuotaOf(resp)
		if (got == nil) != (test.want == nil) || got != nil && *got != *test.want {
			t.Errorf("%s: got %v, want %v", name, got, test.want)
		}
	}
}

func FuzzQuotaOf(f *testing.F) {
	f.Add("100;w=21600", "20;w=21600")
	f.Add("60", "")
	f.Fuzz(func(t *testing.T, limit, remaining string) {
		resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Ratelimit-Limit": {limit}, "Ratelimit-Remaining": {remaining}}}
		if q := QuotaOf(resp); q != nil && (q.Remaining < -1 || q.Window <= 0) {
			t.Errorf("%q, %q: %v", limit, remaining, q)
		}
	})
}
