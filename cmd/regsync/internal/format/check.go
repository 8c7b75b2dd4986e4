package format

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// FieldError is a field that the items do not have.
type FieldError struct {
	// Field is as the template has it, ".Config.Nope".
	Field string
	// Known are the fields that could be there.
	Known []string
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("unknown field %s; available fields: %s", e.Field, strings.Join(e.Known, ", "))
}

// UndefinedError is a template that is called and not defined.
type UndefinedError struct{ Name string }

func (e *UndefinedError) Error() string { return fmt.Sprintf("template %q is not defined", e.Name) }

// checker looks for fields that do not exist, and for templates that are not defined. What a type does not tell, such as the
// keys of a map, and what a call in parentheses returns, is left to the execution.
type checker struct {
	templates *template.Template
	root      reflect.Type // nil if it is not known
}

// checkAll checks a template for items of a type, and the templates that it defines, which may be called with anything.
func checkAll(parsed *template.Template, item reflect.Type) error {
	for _, t := range parsed.Templates() {
		root := item
		if t.Name() != parsed.Name() {
			root = nil
		}
		if t.Tree == nil {
			continue
		}
		if err := (checker{parsed, root}).check(t.Root, root); err != nil {
			return err
		}
	}
	return nil
}

// check checks a node and what is below it, where the dot is of a type; nil if that is not known.
func (c checker) check(node parse.Node, dot reflect.Type) error {
	switch node := node.(type) {
	case *parse.ListNode:
		return c.checkList(node, dot)
	case *parse.ActionNode:
		return c.checkPipe(node.Pipe, dot)
	case *parse.IfNode:
		return c.checkBranch(&node.BranchNode, dot, dot)
	case *parse.RangeNode:
		return c.checkBranch(&node.BranchNode, dot, nil)
	case *parse.WithNode:
		return c.checkBranch(&node.BranchNode, dot, nil)
	case *parse.PipeNode:
		return c.checkPipe(node, dot)
	case *parse.FieldNode:
		return resolve(dot, "", node.Ident)
	case *parse.TemplateNode:
		if t := c.templates.Lookup(node.Name); t == nil || t.Tree == nil {
			return &UndefinedError{node.Name}
		}
		return c.checkPipe(node.Pipe, dot)
	case *parse.ChainNode:
		if names, ok := fieldIn(node.Node); ok {
			return resolve(dot, "", append(names, node.Field...))
		}
		return c.check(node.Node, dot)
	case *parse.VariableNode:
		if node.Ident[0] == "$" {
			return resolve(c.root, "$", node.Ident[1:])
		}
	}
	return nil
}

func (c checker) checkList(list *parse.ListNode, dot reflect.Type) error {
	if list == nil {
		return nil
	}
	for _, node := range list.Nodes {
		if err := c.check(node, dot); err != nil {
			return err
		}
	}
	return nil
}

func (c checker) checkPipe(pipe *parse.PipeNode, dot reflect.Type) error {
	if pipe == nil {
		return nil
	}
	for _, command := range pipe.Cmds {
		for _, argument := range command.Args {
			if err := c.check(argument, dot); err != nil {
				return err
			}
		}
	}
	return nil
}

// fieldIn returns the names of a field in parentheses: (.Config).
func fieldIn(node parse.Node) (names []string, ok bool) {
	pipe, ok := node.(*parse.PipeNode)
	if !ok || len(pipe.Cmds) != 1 || len(pipe.Cmds[0].Args) != 1 {
		return nil, false
	}
	switch field := pipe.Cmds[0].Args[0].(type) {
	case *parse.FieldNode:
		return slices.Clone(field.Ident), true
	case *parse.DotNode:
		return nil, true
	}
	return nil, false
}

// checkBranch checks an if, range or with, inside of which the dot may be something else.
func (c checker) checkBranch(branch *parse.BranchNode, dot, inside reflect.Type) error {
	if err := c.checkPipe(branch.Pipe, dot); err != nil {
		return err
	}
	if err := c.checkList(branch.List, inside); err != nil {
		return err
	}
	return c.checkList(branch.ElseList, dot)
}

// resolve follows names from a type as far as its fields are known. before is what the template has before the first name.
func resolve(at reflect.Type, before string, names []string) error {
	for _, name := range names {
		for at != nil && at.Kind() == reflect.Pointer {
			at = at.Elem()
		}
		if at == nil || at.Kind() != reflect.Struct {
			return nil
		}
		field, found := at.FieldByName(name)
		if !found || !field.IsExported() {
			if _, found := reflect.PointerTo(at).MethodByName(name); found {
				return nil
			}
			return &FieldError{Field: before + "." + name, Known: fields(at, before)}
		}
		at, before = field.Type, before+"."+name
	}
	return nil
}

// fields returns the fields of a type as a template names them.
func fields(of reflect.Type, before string) []string {
	var names []string
	for _, field := range reflect.VisibleFields(of) {
		if field.IsExported() && !field.Anonymous {
			names = append(names, before+"."+field.Name)
		}
	}
	return names
}
