package spool

import (
	"errors"
	"os"
	"syscall"
	"testing"
)

// Linux's /dev/full refuses every write as a full disk does, to root too.
func TestFullDisk(t *testing.T) {
	file, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := reserve(t, NewPool("", 10, 10), 3)
	s.store = &File{File: file}
	defer s.Release()
	if _, err := s.Write([]byte("abc")); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v, want that the disk is full", err)
	}
	if s.length != 0 {
		t.Errorf("%d bytes are said to be there", s.length)
	}
}
