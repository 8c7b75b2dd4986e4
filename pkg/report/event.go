package report

import "github.com/regsync/regsync/pkg/transfer"

// EventSchema names the format of --progress json. Within a version, fields and events are added, never changed or
// removed: a reader ignores those that it does not know.
const EventSchema = "regsync.event/v1"

// Event is one line of --progress json: one document, whose other fields depend on Event:
//
//	start             schema: the first line of the progress
//	planned           entry, source, digest, destinations[]: for each destination of an image when it is known what
//	                  that one needs, and once more if it is tried again
//	blob-started      destination, digest, mediaType, size
//	blob-retrying     destination, digest, attempt, waitSeconds, error
//	blob-done         destination, digest, size, outcome, from, error
//	manifest-pushed   destination, digest, mediaType, size, tag
//	warning           source, text: a warning of the engine; those of listings are in the report
//	destination-done  entry, source, destination, action, status, digest, previous, referrers, rule, reason, error:
//	                  once for each destination of each image
//	job-done          entry, source, digest, failed, seconds
//	progress          images, bytes, secondsLeft: at most one a second
//	pause             registry, waitSeconds, code (the HTTP status): the registry accepts no requests of some kind for
//	                  waitSeconds, and the run waits; repeated if the pause becomes longer
//	pause-over        registry
//	log               text: a line of the log, with --debug
//	end               images, bytes: as in progress; only errors follow
//	error             error: why the command failed, once for each cause
//
// A command without progress has neither start nor end, and each of its lines has the schema. Sizes are bytes;
// bytes.total is an upper bound, because what can be mounted or is there is not sent. A field without a value is left
// out.
type Event struct {
	// Time is RFC 3339, UTC, with milliseconds.
	Time         string               `json:"time"`
	Event        string               `json:"event"`
	Schema       string               `json:"schema,omitempty"`
	Entry        string               `json:"entry,omitempty"`
	Source       string               `json:"source,omitempty"`
	Destination  string               `json:"destination,omitempty"`
	Destinations []PlannedDestination `json:"destinations,omitempty"`
	Action       transfer.Action      `json:"action,omitempty"`
	Status       Status               `json:"status,omitempty"`
	Outcome      transfer.BlobOutcome `json:"outcome,omitempty"`
	// From is the repository that a blob was mounted from.
	From        string         `json:"from,omitempty"`
	Digest      string         `json:"digest,omitempty"`
	Previous    string         `json:"previous,omitempty"`
	MediaType   string         `json:"mediaType,omitempty"`
	Size        *int64         `json:"size,omitempty"`
	Tag         string         `json:"tag,omitempty"`
	Referrers   int            `json:"referrers,omitempty"`
	Rule        *Rule          `json:"rule,omitempty"`
	Reason      string         `json:"reason,omitempty"`
	Attempt     int            `json:"attempt,omitempty"`
	WaitSeconds *float64       `json:"waitSeconds,omitempty"`
	Registry    string         `json:"registry,omitempty"`
	Code        int            `json:"code,omitempty"`
	Failed      bool           `json:"failed,omitempty"`
	Seconds     *float64       `json:"seconds,omitempty"`
	Images      *ImageProgress `json:"images,omitempty"`
	Bytes       *ByteProgress  `json:"bytes,omitempty"`
	SecondsLeft *float64       `json:"secondsLeft,omitempty"`
	Text        string         `json:"text,omitempty"`
	Error       *Problem       `json:"error,omitempty"`
}

// ImageProgress counts images.
type ImageProgress struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// ByteProgress counts the bytes of blobs that are sent: a blob counts once for each registry, and not at all if it is there
// or mounted. Total is an estimate, which changes while images are planned. Done and Sent are equal.
type ByteProgress struct {
	Done      int64 `json:"done"`
	Total     int64 `json:"total"`
	Sent      int64 `json:"sent"`
	PerSecond int64 `json:"perSecond"`
}

// PlannedDestination is what a destination needs: at most Bytes in Blobs.
type PlannedDestination struct {
	Destination string          `json:"destination"`
	Action      transfer.Action `json:"action"`
	Previous    string          `json:"previous,omitempty"`
	Blobs       int             `json:"blobs"`
	Bytes       int64           `json:"bytes"`
	Referrers   int             `json:"referrers,omitempty"`
	Rule        *Rule           `json:"rule,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	Error       *Problem        `json:"error,omitempty"`
}
