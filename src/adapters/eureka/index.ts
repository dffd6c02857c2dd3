// The subpath `fairlead/eureka`.
export {}
