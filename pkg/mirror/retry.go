package mirror

// Failed is an image that did not reach some of its destinations in an earlier run, as that
// run's report names it: by the canonical forms of the references.
type Failed struct {
	// Entry is the name of the entry that asked for it.
	Entry string
	// Source is the image or, where its tags could not be listed, the repository.
	Source string
	// Destinations are those that it did not reach; repositories where Source is one. None
	// means all that the entry names.
	Destinations []string
}

// Retry is what an earlier run has left undone; nil leaves nothing out, an empty one takes
// nothing.
type Retry []Failed
