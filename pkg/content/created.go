package content

import (
	"context"
	"encoding/json"
	"time"
)

// Created reads the time at which an image was made from its configuration. It is zero where
// that states none, and where there is none, as [FetchImageConfig] says.
func Created(ctx context.Context, from BlobFetcher, config Descriptor) (time.Time, error) {
	raw, err := FetchImageConfig(ctx, from, config)
	if err != nil {
		return time.Time{}, err
	}
	var image struct {
		Created string `json:"created"`
	}
	_ = json.Unmarshal(raw, &image)                  // what is no JSON states none
	at, _ := time.Parse(time.RFC3339, image.Created) // zero where it is none
	return at, nil
}
