package explore

import (
	"fmt"
	"reflect"
	"unsafe"
)

// Plain returns a function that appends the memory of a T to a key. It panics unless T is made of one-byte fields and arrays of such
// only: then its memory has no pointer and no padding, and two values are equal exactly if it is.
func Plain[T any]() func(dst []byte, v *T) []byte {
	if t := reflect.TypeFor[T](); !plain(t) {
		panic(fmt.Sprintf("BUG: explore: %v is not made of bytes", t))
	}
	return func(dst []byte, v *T) []byte {
		return append(dst, unsafe.Slice((*byte)(unsafe.Pointer(v)), unsafe.Sizeof(*v))...)
	}
}

func plain(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Bool, reflect.Int8, reflect.Uint8:
		return true
	case reflect.Array:
		return plain(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if !plain(t.Field(i).Type) {
				return false
			}
		}
		return true
	}
	return false
}
