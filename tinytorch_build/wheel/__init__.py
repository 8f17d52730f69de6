"""The distributions of a course: a source archive and a wheel, made from the published package alone."""
