// The subpath `fairlead/kubernetes`.
export {}
