package format

import (
	"fmt"
	"reflect"
	"strings"
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

// checker looks for fields that do not exist. What a type does not tell, such as the keys of a map, is left to the execution.
type checker struct{ root reflect.Type }

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
