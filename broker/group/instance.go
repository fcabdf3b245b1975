package group

// instance is what a static member calls itself. The zero value is that of a dynamic member: a name may be empty, as in Kafka, and is one then.
type instance struct {
	static bool
	name   string
}

func instanceOf(name *string) instance {
	if name == nil {
		return instance{}
	}
	return instance{true, *name}
}

// pointer returns the name, nil if there is none.
func (i instance) pointer() *string {
	if !i.static {
		return nil
	}
	return &i.name
}
