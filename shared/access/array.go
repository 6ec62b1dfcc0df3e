package access

// textArray writes an array as Postgres reads it. pgx writes the same, with three allocations
// for each element.
func textArray[T string | []byte](values []T) string {
	size := 2
	for _, v := range values {
		size += len(v) + len(`"",`)
	}
	text := append(make([]byte, 0, size), '{')
	for i, v := range values {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, '"')
		for j := range len(v) {
			if v[j] == '"' || v[j] == '\\' {
				text = append(text, '\\')
			}
			text = append(text, v[j])
		}
		text = append(text, '"')
	}
	return string(append(text, '}'))
}
