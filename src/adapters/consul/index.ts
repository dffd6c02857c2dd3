// The subpath `fairlead/consul`.
export {}
