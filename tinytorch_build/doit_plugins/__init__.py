"""What plugs into doit, by its public extension points. The only place that imports doit."""
