package config

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/regsync/regsync/pkg/mirror/internal/quote"
)

// sampledPercent is what `verify: sampled` stands for.
const sampledPercent = 5

// percentPattern is a whole percentage from 1 on.
const percentPattern = `^([1-9][0-9]?|100)%$`

var percentage = regexp.MustCompile(percentPattern)

// verify is `always`, `sampled`, or a mapping with the percentage of the sample. It is read as the number of runs in
// which each tag is in the sample once; 0 for `always`.
func verify() kind[int] {
	return kind[int]{
		schema{"anyOf": []schema{orVariable(schema{"enum": []string{"always", "sampled"}}), verifyForm().schema()}}, (*decoder).verify,
	}
}

func verifyForm() form[int] {
	percent := kind[int]{orVariable(schema{"type": "string", "pattern": percentPattern}), (*decoder).percent}
	return form[int]{what: "`verify`", fields: fields[int]{"sampled": is(percent, func(p *int) *int { return p })}}
}

func (d *decoder) verify(n *yaml.Node, what string) (every int, ok bool) {
	target, percent := d.resolve(n), sampledPercent
	if target.Kind == yaml.MappingNode {
		keys, ok := decodeMapping(d, target, verifyForm(), &percent)
		if ok && len(keys) == 0 {
			d.suggest(target, "as `verify: {sampled: 5%}`", "%s needs `sampled`", what)
		}
		return 100 / percent, ok && len(keys) > 0
	}
	word, ok := d.text(target, what)
	switch {
	case !ok:
		return 0, false
	case word == "always":
		return 0, true
	case word == "sampled":
		return 100 / sampledPercent, true
	}
	suggestion := didYouMean(word, []string{"always", "sampled"})
	if word != "" && strings.Trim(word, "0123456789.%") == "" {
		suggestion = "as `verify: {sampled: 5%}`"
	}
	d.suggest(target, suggestion, "%s must be `always`, `sampled`, or a mapping with `sampled`", what)
	return 0, false
}

func (d *decoder) percent(n *yaml.Node, what string) (int, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return 0, false
	}
	if !percentage.MatchString(s) {
		d.suggest(d.resolve(n), "as `5%`", "%s must be a percentage from 1%% to 100%%, which %s is not", what, quote.Word(d.resolve(n).Value))
		return 0, false
	}
	percent, err := strconv.Atoi(strings.TrimSuffix(s, "%"))
	return percent, err == nil
}
