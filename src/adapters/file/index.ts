// The subpath `fairlead/file`.
export {}
