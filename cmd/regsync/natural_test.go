package main

import (
	"slices"
	"testing"
)

func TestCompareNatural(t *testing.T) {
	want := []string{
		"", "1", "1.9", "1.9-alpine", "1.9.1", "1.10", "2", "10", "20240101",
		"99999999999999999999999998", "99999999999999999999999999", "latest", "v01", "v1", "v2", "v10",
	}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, compareNatural)
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
