package state

import (
	"errors"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// errDamaged: the file is no database, or not as we made it.
var errDamaged = errors.New("it is damaged")

// isDamage reports whether nothing more can be expected of the file.
func isDamage(err error) bool {
	return errors.Is(err, errDamaged) || isCode(err, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
}

// isBusy reports whether another process held the lock for longer than we wait.
func isBusy(err error) bool { return isCode(err, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) }

// isMoved reports whether the file was set aside, by another process, while this one was at
// it: the name stands for a new database, or will soon.
func isMoved(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains([]int{
		sqlite3.SQLITE_READONLY_DBMOVED, sqlite3.SQLITE_IOERR_DELETE_NOENT, sqlite3.SQLITE_IOERR_FSTAT,
	}, e.Code())
}

// isGone reports whether the file cannot be opened: it may have been set aside just now.
func isGone(err error) bool { return isCode(err, sqlite3.SQLITE_CANTOPEN) }

// isSQL reports whether a statement did not fit the tables.
func isSQL(err error) bool { return isCode(err, sqlite3.SQLITE_ERROR) }

func isCode(err error, codes ...int) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && slices.Contains(codes, e.Code()&0xff) // the rest tells more about the cause
}
