// Writes weights.bin: what the root collation of CLDR 23 and Unicode 6.2 says about each character.
//
// The README beside this file tells how to run it. With the argument "samples" it writes random strings and
// their primary keys instead, for comparison.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand"
	"os"
	"sort"

	"golang.org/x/text/collate"
	"golang.org/x/text/internal/colltab"
	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"
	"unicode"
)

const (
	pageSize         = 256
	firstContraction = 0xFF00
	lastElement      = 1 << 31
)

type pool struct {
	elements []uint32
	known    map[string]int
}

// add returns the position of a list of elements, counted from 1.
func (p *pool) add(list []colltab.Elem) int {
	if len(list) == 0 {
		panic("an empty list")
	}
	var words []uint32
	for _, e := range list {
		if e.Primary() >= 1<<21 {
			panic("primary weight out of bounds")
		}
		words = append(words, uint32(e.Primary())|uint32(e.CCC())<<21)
	}
	words[len(words)-1] |= lastElement
	key := fmt.Sprint(words)
	if at, ok := p.known[key]; ok {
		return at
	}
	at := len(p.elements) + 1
	p.known[key] = at
	p.elements = append(p.elements, words...)
	if len(p.elements) >= firstContraction {
		panic("too many elements")
	}
	return at
}

type contraction struct {
	suffix []rune
	list   int
}

func runes(f func(r rune)) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if r < 0xD800 || r >= 0xE000 {
			f(r)
		}
	}
}

func main() {
	t := collate.RootTable()
	if len(os.Args) > 1 && os.Args[1] == "samples" {
		samples(t)
		return
	}
	p := &pool{known: map[string]int{}}
	pages := map[int][]uint16{}
	var starters []rune
	contractions := map[rune][]contraction{}
	runes(func(r rune) {
		ce, size := t.Index.Lookup([]byte(string(r)))
		if ce == 0 {
			return
		}
		var entry int
		if uint32(ce) > 0xAFFFFFFF && uint32(ce) <= 0xDFFFFFFF {
			entry = firstContraction + len(starters)
			starters = append(starters, r)
			index, n, offset := int(ce>>4&0xFFF), int(ce&0xF), int(ce>>16&0x1FFF)
			_ = size
			contractions[r] = append(contractions[r], contraction{nil, p.add(element(t, t.ContractElem[offset]))})
			walk(t, t.ContractTries[index:], n, nil, func(suffix []byte, i int) {
				list := p.add(element(t, t.ContractElem[i+offset]))
				contractions[r] = append(contractions[r], contraction{[]rune(string(suffix)), list})
			})
		} else {
			list, _ := t.AppendNextString(nil, string(r))
			entry = p.add(list)
		}
		page := int(r) / pageSize
		if pages[page] == nil {
			pages[page] = make([]uint16, pageSize)
		}
		pages[page][int(r)%pageSize] = uint16(entry)
	})
	if len(starters) > 0xFF {
		panic("too many contractions")
	}
	write(p, pages, starters, contractions)
}

func element(t *colltab.Table, word uint32) []colltab.Elem {
	if word <= 0xAFFFFFFF {
		return []colltab.Elem{colltab.Elem(word)}
	}
	i := int(uint16(word))
	n := int(t.ExpandElem[i])
	var list []colltab.Elem
	for _, e := range t.ExpandElem[i+1 : i+1+n] {
		list = append(list, colltab.Elem(e))
	}
	return list
}

// walk visits every byte string that the contraction trie of a starter accepts.
func walk(t *colltab.Table, states colltab.ContractTrieSet, n int, prefix []byte, visit func([]byte, int)) {
	for _, e := range states[:n] {
		if e.N == 0 && e.L != e.H {
			for c := int(e.L); c <= int(e.H); c++ {
				visit(append(append([]byte{}, prefix...), byte(c)), c-int(e.L)+int(e.I))
			}
			continue
		}
		next := append(append([]byte{}, prefix...), e.L)
		if e.I != 0xFF {
			visit(next, int(e.I))
		}
		if e.N != 0 {
			walk(t, states[int(e.H)+n:], int(e.N), next, visit)
		}
	}
}

func write(p *pool, pages map[int][]uint16, starters []rune, contractions map[rune][]contraction) {
	var out bytes.Buffer
	put := func(values ...any) {
		for _, v := range values {
			if err := binary.Write(&out, binary.LittleEndian, v); err != nil {
				panic(err)
			}
		}
	}
	out.WriteString("SGWEIGHT")
	// Characters that do not begin a segment: code point, leading and trailing class, count in NFD.
	var marks []rune
	var ideographic [][2]rune
	runes(func(r rune) {
		if norm.NFD.PropertiesString(string(r)).LeadCCC() != 0 {
			marks = append(marks, r)
		}
		if unicode.Is(unicode.Ideographic, r) {
			if k := len(ideographic); k > 0 && ideographic[k-1][1] == r-1 {
				ideographic[k-1][1] = r
			} else {
				ideographic = append(ideographic, [2]rune{r, r})
			}
		}
	})
	count := 0
	for _, list := range contractions {
		count += len(list)
	}
	put(uint32(len(p.elements)), uint32(len(pages)), uint32(count), uint32(len(marks)), uint32(len(ideographic)))
	put(p.elements)
	var numbers []int
	for number := range pages {
		numbers = append(numbers, number)
	}
	sort.Ints(numbers)
	for _, number := range numbers {
		put(uint16(number), pages[number])
	}
	for i, r := range starters {
		list := contractions[r]
		sort.Slice(list, func(a, b int) bool { return string(list[a].suffix) < string(list[b].suffix) })
		for _, c := range list {
			put(uint8(i), uint8(len(c.suffix)), uint16(c.list))
			for _, r := range c.suffix {
				put(uint32(r))
			}
		}
	}
	for _, r := range marks {
		properties := norm.NFD.PropertiesString(string(r))
		nfd := norm.NFD.String(string(r))
		put(uint32(r), properties.LeadCCC(), properties.TrailCCC(), uint8(len([]rune(nfd))), uint8(0))
	}
	for _, span := range ideographic {
		put(uint32(span[0]), uint32(span[1]))
	}
	if err := os.WriteFile("weights.bin", out.Bytes(), 0o644); err != nil {
		panic(err)
	}
	fmt.Println("weights.bin:", out.Len(), "bytes,", len(p.elements), "elements,", len(pages), "pages,", count,
		"contractions,", len(marks), "marks,", len(ideographic), "ranges of ideographs; Unicode", norm.Version)
}

// samples writes lines of text and primary key, both in hexadecimal.
func samples(t *colltab.Table) {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	collator := collate.New(language.Und, collate.Loose)
	var buffer collate.Buffer
	line := func(s string) {
		buffer.Reset()
		key := collator.KeyFromString(&buffer, s)
		fmt.Fprintln(out, hex.EncodeToString([]byte(s)), hex.EncodeToString(key))
	}
	var mapped, marks, starters, suffixes []rune
	runes(func(r rune) {
		ce, _ := t.Index.Lookup([]byte(string(r)))
		if ce != 0 {
			mapped = append(mapped, r)
		}
		if uint32(ce) > 0xAFFFFFFF && uint32(ce) <= 0xDFFFFFFF {
			starters = append(starters, r)
			index, n := int(ce>>4&0xFFF), int(ce&0xF)
			walk(t, t.ContractTries[index:], n, nil, func(suffix []byte, _ int) {
				suffixes = append(suffixes, []rune(string(suffix))...)
			})
		}
		if norm.NFD.PropertiesString(string(r)).LeadCCC() != 0 {
			marks = append(marks, r)
		}
	})
	if len(os.Args) > 2 && os.Args[2] == "all" {
		runes(func(r rune) { line(string(r)) })
	}
	rng := rand.New(rand.NewSource(1))
	pick := func(from []rune) rune { return from[rng.Intn(len(from))] }
	for i := 0; i < 200000; i++ {
		var s []rune
		for n := rng.Intn(12); n >= 0; n-- {
			switch rng.Intn(8) {
			case 0, 1:
				s = append(s, pick(starters))
			case 2, 3:
				s = append(s, pick(suffixes))
			case 4, 5:
				s = append(s, pick(marks))
			case 6:
				s = append(s, pick(mapped))
			case 7:
				s = append(s, rune(rng.Intn(0x250)))
			}
		}
		if rng.Intn(100) == 0 {
			for n := 20 + rng.Intn(50); n > 0; n-- {
				s = append(s, pick(marks))
			}
			s = append(s, 'a')
		}
		line(string(s))
	}
}
