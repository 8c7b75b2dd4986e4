package main

import (
	"cmp"
	"go/ast"
	"go/constant"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/tools/go/packages"
)

// proseOf returns where tests compare prose outside of golden files: constant strings of three or more words in a
// _test.go file that are compared with something. A word has two letters or more; JSON, YAML and URLs are data, not prose
// (see isProse). A string is compared if
//
//   - it is an operand of == or !=, or a case of a switch;
//   - it is what strings.Contains and its like look for, or a pattern of regexp;
//   - it is part of an argument of slices.Equal, reflect.DeepEqual and their like;
//   - it is the value of a variable, a field or an element that is used so (the want of a table);
//   - it is the argument for a parameter that is used so (a helper that compares).
//
// Each string counts once, at the place where it stands. Lines of test scripts (testdata/script) are counted apart, by
// proseInScripts.
func proseOf(loaded []*packages.Package) []prose {
	s := &proseSearch{found: map[place]string{}, compared: map[place]bool{}}
	for {
		before := len(s.found) + len(s.compared)
		for _, pkg := range loaded {
			s.pkg = pkg
			for _, file := range pkg.Syntax {
				ast.Inspect(file, s.visit)
			}
		}
		if len(s.found)+len(s.compared) == before {
			break
		}
	}
	var all []prose
	for at, text := range s.found {
		all = append(all, prose{at, text})
	}
	slices.SortFunc(all, func(a, b prose) int {
		return cmp.Or(strings.Compare(a.file, b.file), a.line-b.line, a.column-b.column)
	})
	return all
}

// prose is a string that a test compares.
type prose struct {
	place
	text string
}

// proseSearch follows what is compared from the comparison back to the strings, until nothing is added.
type proseSearch struct {
	pkg      *packages.Package
	found    map[place]string
	compared map[place]bool // variables, fields and parameters whose value is compared
}

// looksFor are functions whose argument at this index is what they look for; -1 means all.
var looksFor = map[string]int{
	"strings.Contains": 1, "strings.HasPrefix": 1, "strings.HasSuffix": 1, "strings.EqualFold": -1, "strings.Index": 1,
	"strings.LastIndex": 1, "strings.Count": 1, "strings.Compare": -1, "strings.CutPrefix": 1, "strings.CutSuffix": 1, "strings.Cut": 1,
	"bytes.Contains": 1, "bytes.HasPrefix": 1, "bytes.HasSuffix": 1, "bytes.Equal": -1, "bytes.Index": 1, "bytes.Count": 1,
	"regexp.MustCompile": 0, "regexp.Compile": 0, "regexp.MatchString": 0,
	"slices.Equal": -1, "slices.Contains": -1, "slices.Index": -1, "maps.Equal": -1, "reflect.DeepEqual": -1, "cmp.Equal": -1, "cmp.Diff": -1,
}

func (s *proseSearch) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		if n.Op == token.EQL || n.Op == token.NEQ {
			s.comparison(n.X, n.Y)
		}
	case *ast.SwitchStmt:
		if n.Tag != nil {
			for _, clause := range n.Body.List {
				if clause, ok := clause.(*ast.CaseClause); ok {
					for _, value := range clause.List {
						s.comparison(n.Tag, value)
					}
				}
			}
		}
	case *ast.CallExpr:
		s.call(n)
	case *ast.AssignStmt:
		for i, left := range n.Lhs {
			if len(n.Lhs) == len(n.Rhs) && s.isCompared(left) {
				s.mark(n.Rhs[i])
			}
		}
	case *ast.ValueSpec:
		for i, name := range n.Names {
			if len(n.Names) == len(n.Values) && s.isCompared(name) {
				s.mark(n.Values[i])
			}
		}
	case *ast.RangeStmt:
		_, isMap := s.pkg.TypesInfo.TypeOf(n.X).Underlying().(*types.Map)
		if n.Value != nil && s.isCompared(n.Value) {
			s.markElements(n.X, false)
		}
		if isMap && n.Key != nil && s.isCompared(n.Key) {
			s.markElements(n.X, true)
		}
	case *ast.CompositeLit:
		s.fields(n)
	}
	return true
}

// comparison marks the constant of x and y; without one, both.
func (s *proseSearch) comparison(x, y ast.Expr) {
	info := s.pkg.TypesInfo
	constant := func(e ast.Expr) bool { return info.Types[e].Value != nil || info.Types[e].IsNil() }
	if constant(x) || !constant(y) {
		s.mark(x)
	}
	if constant(y) || !constant(x) {
		s.mark(y)
	}
}

func (s *proseSearch) call(call *ast.CallExpr) {
	callee := s.callee(call)
	if callee == nil {
		return
	}
	if callee.Pkg() != nil && callee.Signature().Recv() == nil {
		if at, ok := looksFor[callee.Pkg().Name()+"."+callee.Name()]; ok {
			for i, argument := range call.Args {
				if at < 0 || i == at {
					s.mark(argument)
				}
			}
			return
		}
	}
	parameters := callee.Origin().Signature().Params()
	for i, argument := range call.Args {
		if parameters.Len() > 0 && s.compared[placeOf(s.pkg.Fset, parameters.At(min(i, parameters.Len()-1)).Pos())] {
			s.mark(argument)
		}
	}
}

// callee returns the function that is called, or nil for a conversion, a builtin, or a value.
func (s *proseSearch) callee(call *ast.CallExpr) *types.Func {
	fun := ast.Unparen(call.Fun)
	if index, ok := fun.(*ast.IndexExpr); ok {
		fun = index.X
	}
	var name *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		name = fun
	case *ast.SelectorExpr:
		name = fun.Sel
	default:
		return nil
	}
	function, _ := s.pkg.TypesInfo.Uses[name].(*types.Func)
	return function
}

// fields marks the values of a literal's fields that are compared somewhere.
func (s *proseSearch) fields(literal *ast.CompositeLit) {
	of, ok := s.pkg.TypesInfo.TypeOf(literal).Underlying().(*types.Struct)
	if !ok {
		return
	}
	for i, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if s.isCompared(pair.Key) {
				s.mark(pair.Value)
			}
		} else if s.compared[placeOf(s.pkg.Fset, of.Field(i).Pos())] {
			s.mark(element)
		}
	}
}

// mark notes that the value of e is compared.
func (s *proseSearch) mark(e ast.Expr) {
	at := placeOf(s.pkg.Fset, e.Pos())
	if value := s.pkg.TypesInfo.Types[e].Value; value != nil {
		if value.Kind() == constant.String && strings.HasSuffix(at.file, "_test.go") && isProse(constant.StringVal(value)) {
			s.found[at] = constant.StringVal(value)
		}
		return
	}
	switch e := e.(type) {
	case *ast.Ident:
		s.markObject(e)
	case *ast.SelectorExpr:
		s.markObject(e.Sel)
	case *ast.ParenExpr:
		s.mark(e.X)
	case *ast.StarExpr:
		s.mark(e.X)
	case *ast.UnaryExpr:
		s.mark(e.X)
	case *ast.IndexExpr:
		s.mark(e.X)
	case *ast.SliceExpr:
		s.mark(e.X)
	case *ast.BinaryExpr:
		s.mark(e.X)
		s.mark(e.Y)
	case *ast.CompositeLit:
		s.markElements(e, true)
		s.markElements(e, false)
	case *ast.CallExpr:
		callee := s.callee(e)
		if callee == nil || callee.Pkg() != nil && (callee.Pkg().Name() == "fmt" || callee.Pkg().Name() == "strings") {
			for _, argument := range e.Args { // a conversion, append, Sprintf, Join
				s.mark(argument)
			}
		}
	}
}

func (s *proseSearch) markObject(name *ast.Ident) {
	if object, ok := s.pkg.TypesInfo.ObjectOf(name).(*types.Var); ok {
		s.compared[placeOf(s.pkg.Fset, object.Origin().Pos())] = true
	}
}

// markElements marks the keys or the values of a literal; of a variable that holds it, both.
func (s *proseSearch) markElements(of ast.Expr, keys bool) {
	literal, ok := ast.Unparen(of).(*ast.CompositeLit)
	if !ok {
		s.mark(of)
		return
	}
	_, isStruct := s.pkg.TypesInfo.TypeOf(literal).Underlying().(*types.Struct)
	for _, element := range literal.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		switch {
		case !ok && !keys:
			s.mark(element)
		case ok && keys && !isStruct:
			s.mark(pair.Key)
		case ok && !keys:
			s.mark(pair.Value)
		}
	}
}

func (s *proseSearch) isCompared(e ast.Expr) bool {
	var name *ast.Ident
	switch e := e.(type) {
	case *ast.Ident:
		name = e
	case *ast.SelectorExpr:
		name = e.Sel
	default:
		return false
	}
	object, ok := s.pkg.TypesInfo.ObjectOf(name).(*types.Var)
	return ok && s.compared[placeOf(s.pkg.Fset, object.Origin().Pos())]
}

// isProse reports whether a text has three words or more and is no JSON.
func isProse(text string) bool {
	words := 0
	for field := range strings.FieldsSeq(text) {
		letters := 0
		for _, r := range field {
			if unicode.IsLetter(r) {
				letters++
			}
		}
		if letters >= 2 {
			words++
		}
	}
	return words >= 3 && !strings.HasPrefix(strings.TrimSpace(text), "{")
}

// proseInScripts counts the lines of test scripts that look for three words or more in an output.
func proseInScripts(root string) (count int, err error) {
	scripts, err := filepath.Glob(filepath.Join(root, "cmd/*/testdata/script/*.txtar"))
	if err != nil {
		return 0, err
	}
	for _, script := range scripts {
		raw, err := os.ReadFile(script)
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(raw)) {
			fields := strings.Fields(strings.TrimPrefix(line, "!"))
			if len(fields) > 1 && slices.Contains([]string{"stdout", "stderr", "grep"}, fields[0]) && isProse(strings.Join(fields[1:], " ")) {
				count++
			}
		}
	}
	return count, nil
}
