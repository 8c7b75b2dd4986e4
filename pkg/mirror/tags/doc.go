// Package tags selects from the tags of a repository: by name, by version, by age.
//
// Start at [Selector], which is the value of `tags` in a configuration, and at its method
// Choose, which decides each tag of a listing and says by which rule. Deciding reads
// nothing; what names alone do not tell is asked through [Ages]. What a version is, is said
// at [ParseVersion], which of them a range takes at [ParseRange], and which suffixes are one
// variant at [Version.Variant].
package tags
