package authorize

import "bytes"

// lines are the questions that wait to be asked, a line for each user. The users take turns
// with a few questions each, so that nobody waits for all that others ask, however many they
// are. It is not safe for concurrent use.
type lines struct {
	size int
	by   map[string]*line // only users with a question
	turn []*line          // the next one first
}

// line is one user's questions, the oldest first.
type line struct {
	user      string
	questions []*flight
	tokens    []*asker // distinct ones
}

// maxTokens is how many tokens of one user may have questions waiting. Questions outlive
// their requests, and a token may have 16 kB.
const maxTokens = 8

// partOf is the part that one user may have of what the others leave of the queue.
const partOf = 4

// roomsOfPage is as many questions as a line has room for at first.
const roomsOfPage = 8

// mayAdd reports whether a user may have one more question waiting, of limit in all, and
// each of their own. What one user may have shrinks as the queue fills, so that there is
// room for another's.
func (l *lines) mayAdd(user string, limit, each int) bool {
	own := 0
	if mine := l.by[user]; mine != nil {
		own = len(mine.questions)
	}
	left := limit - (l.size - own)
	return own < each && own < (left+partOf-1)/partOf
}

// add puts a question at the end of its user's line, and reports false for one token too
// many. Questions with the same claims share their asker.
func (l *lines) add(f *flight) bool {
	mine := l.by[f.userID]
	if mine == nil {
		if l.by == nil {
			l.by = make(map[string]*line)
		}
		mine = &line{user: f.userID, questions: make([]*flight, 0, roomsOfPage)}
		l.by[f.userID] = mine
		l.turn = append(l.turn, mine)
	}
	if !mine.share(f) {
		return false
	}
	mine.questions = append(mine.questions, f)
	l.size++
	return true
}

func (l *line) share(f *flight) bool {
	for _, known := range l.tokens {
		if bytes.Equal(known.claims, f.claims) {
			f.asker = known
			return true
		}
	}
	if len(l.tokens) == maxTokens {
		return false
	}
	l.tokens = append(l.tokens, f.asker)
	return true
}

// next takes up to most of the questions of the user whose turn it is.
func (l *lines) next(most int) (taken []*flight) {
	first := l.turn[0]
	l.turn = l.turn[1:]
	n := min(most, len(first.questions))
	taken, first.questions = first.questions[:n], first.questions[n:]
	l.size -= n
	if len(first.questions) > 0 {
		l.turn = append(l.turn, first)
	} else {
		delete(l.by, first.user)
	}
	if l.size == 0 {
		*l = lines{} // the storm's memory goes
	}
	return taken
}
