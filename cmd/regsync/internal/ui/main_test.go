package ui

import (
	"os"
	"testing"
	"time"

	"github.com/mattn/go-runewidth"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	runewidth.DefaultCondition.EastAsianWidth = false // whatever the locale
	os.Exit(m.Run())
}
