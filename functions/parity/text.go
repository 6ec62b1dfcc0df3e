package parity

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// Title is the verdict.
func (r *Report) Title() (text string, good bool) {
	if r.Verdict.Safe {
		return "Safe to cut over", true
	}
	return "Not yet", false
}

// WriteText writes the report for a terminal, in at most a screen: the verdict, what it
// stands on, and the rooms with trouble.
func (r *Report) WriteText(to io.Writer) error {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	verdict := "NOT YET"
	if r.Verdict.Safe {
		verdict = "SAFE TO CUT OVER"
	}
	fmt.Fprintf(w, "%s\t%s to %s UTC\n\n", verdict, when(r.From), when(r.At))
	for _, c := range r.Verdict.Checks {
		sign := "ok"
		if !c.OK {
			sign = "NO"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t(%s)\n", sign, c.Name, c.Got, c.Want)
	}
	for _, c := range r.Verdict.Missing() {
		fmt.Fprintf(w, "\n%s: %s\n", c.Name, c.Advice)
	}
	fmt.Fprintf(w, "\n%s messages committed; %s compared by pages, %s seen by both\n\n", number(r.Messages), number(r.Compared), number(r.Both))
	fmt.Fprint(w, "\tPusher\tSupabase\n")
	for _, row := range []struct {
		label            string
		pusher, supabase int64
	}{
		{"lost", r.OnlySupabase, r.OnlyPusher}, {"repeats", r.Repeats.Pusher, r.Repeats.Supabase},
	} {
		fmt.Fprintf(w, "%s\t%s\t%s\n", row.label, number(row.pusher), number(row.supabase))
	}
	fmt.Fprintf(w, "caught up\t%s\tcannot\n", number(r.Fetched))
	fmt.Fprintf(w, "order flips\t%s\tbetween the two\n", number(r.Flips))
	fmt.Fprintf(w, "median\t%s\t%s\n", millis(r.Pusher.P50), millis(r.Supabase.P50))
	fmt.Fprintf(w, "p95\t%s\t%s\n", millis(r.Pusher.P95), millis(r.Supabase.P95))
	r.writeTrouble(w)
	r.writeReporters(w)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// writeHours lists the latest hours with losses.
func (r *Report) writeHours(w io.Writer) {
	listed := 0
	for i := len(r.ByHour) - 1; i >= 0 && listed < 10; i-- {
		h := r.ByHour[i]
		if h.OnlySupabase+h.OnlyPusher == 0 {
			continue
		}
		if listed++; listed == 1 {
			fmt.Fprint(w, "\nhour\tonly Supabase\tonly Pusher\tcompared\n")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", when(h.Start), number(h.OnlySupabase), number(h.OnlyPusher), number(h.Compared))
	}
}

// writeReporters lists whose word the losses are.
func (r *Report) writeReporters(w io.Writer) {
	for i, u := range r.Reporters.First {
		if u.OnlySupabase == 0 {
			break
		}
		if i == 0 {
			fmt.Fprint(w, "\nuser\tonly Supabase\tcompared\treceipts\n")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", u.ID, number(u.OnlySupabase), number(u.Compared), number(u.Receipts))
	}
}

// writeTrouble lists the rooms that lost anything, and what the audit found.
func (r *Report) writeTrouble(w io.Writer) {
	for i, room := range r.Rooms {
		if i == 10 || room.OnlySupabase+room.OnlyPusher == 0 {
			break
		}
		if i == 0 {
			fmt.Fprint(w, "\nroom\tonly Supabase\tonly Pusher\tcompared\n")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", visible(room.Room), number(room.OnlySupabase), number(room.OnlyPusher), number(room.Compared))
	}
	r.writeHours(w)
	for _, f := range r.Audit {
		if todo := remedy(f); todo != "" {
			rows := "?"
			if f.Count != nil {
				rows = number(*f.Count)
			}
			fmt.Fprintf(w, "\naudit: %s: %s. %s\n", question(f.Problem, f.Table), rows, todo)
		}
	}
}
