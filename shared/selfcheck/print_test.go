package selfcheck

import "testing"

// A print says whether two values are the same, and belongs to one name and one secret.
func TestPrint(t *testing.T) {
	base := Print("secret", "NAME", "value")
	if len(base) != 16 || base != Print("secret", "NAME", " value\n") {
		t.Errorf("print %q: want 16 characters, the space around a value apart", base)
	}
	for _, other := range []string{Print("other", "NAME", "value"), Print("secret", "OTHER", "value"), Print("secret", "NAME", "valu"), Print("secret", "NAM", "Evalue")} {
		if other == base {
			t.Error("two different settings have one print")
		}
	}
}
