// The subpath `fairlead/dns`.
export {}
