//! Quantities: bytes, counts and element types. Raw numbers do not cross a module border.
