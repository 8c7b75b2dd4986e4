package config

import "maps"

// schema is a part of a JSON Schema, draft 2020-12.
type schema map[string]any

// Schema is the JSON Schema of a configuration file, for editors. It is made of the tables
// that the loader decodes by, so that both know the same keys and values. What depends on
// several keys, on files or on variables, only [Load] checks.
func Schema() map[string]any {
	root := fileForm().schema()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "The configuration of regsync sync"
	root["required"] = []string{"version"}
	return root
}

// schema is that of a mapping: the keys of its table, and no others.
func (f form[T]) schema() schema {
	properties := schema{"<<": schema{}} // its keys are checked where they are written
	for _, key := range f.fields.names() {
		properties[key] = f.fields[key].schema
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if f.extras {
		s["patternProperties"] = schema{"^x-": schema{}}
	}
	return s
}

// textSchema is that of text: YAML takes some of it for numbers or true and false.
func textSchema() schema {
	return schema{"type": []string{"string", "number", "boolean"}}
}

// wordSchema is that of text of a certain form.
func wordSchema(pattern string) schema {
	s := textSchema()
	s["pattern"] = pattern
	return s
}

// orVariable allows a variable where a value has another type or form.
func orVariable(s schema) schema {
	return schema{"anyOf": []schema{maps.Clone(s), {"type": "string", "pattern": `\$\{`}}}
}

// oneOrMore is a value, or a list of such values.
func oneOrMore(s schema) schema {
	return schema{"anyOf": []schema{s, {"type": "array", "items": s, "minItems": 1}}}
}
