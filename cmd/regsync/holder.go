package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// holder is who has a lock. It stands in the lock's file, for messages.
type holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"`
}

func thisProcess(started time.Time) holder {
	host, err := os.Hostname()
	if err != nil {
		host = "this host"
	}
	return holder{PID: os.Getpid(), Host: host, Started: started.UTC().Truncate(time.Second)}
}

// write puts it into the file of the lock. Where that cannot be done, as on Windows, the
// lock holds all the same.
func (h holder) write(path string) {
	if raw, err := json.Marshal(h); err == nil {
		_ = os.WriteFile(path, append(raw, '\n'), 0o600) // is only for messages
	}
}

// readHolder is the zero value where the file does not say.
func readHolder(path string) (h holder) {
	raw, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(raw, &h) != nil {
		return holder{}
	}
	return h
}

// heldError: another run of the same configuration is going on.
type heldError struct {
	configuration []string
	by            holder
}

func (e *heldError) Error() string {
	text := fmt.Sprintf("another run of %s is going on", strings.Join(e.configuration, ", "))
	if e.by.PID == 0 {
		return text
	}
	return fmt.Sprintf("%s since %s (pid %d on %s)", text, e.by.Started.Format(time.RFC3339), e.by.PID, e.by.Host)
}

// heldHint is for who has waited in vain.
func heldHint(err error) string {
	held, ok := errors.AsType[*heldError](err)
	switch {
	case !ok:
		return ""
	case held.by.PID == 0:
		return "--skip-if-running leaves it to that run, which has another --state; fuser -v " +
			strings.Join(held.configuration, " ") + " shows its process"
	}
	return fmt.Sprintf("--skip-if-running leaves it to that run; kill %d on %s ends it, and it reports", held.by.PID, held.by.Host)
}
