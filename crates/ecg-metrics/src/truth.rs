/// An element of a truth array: a `bool`, or a number that is 0 or 1.
pub trait Truth: Copy {
    /// Whether the label holds; `None` for a number that is neither 0 nor 1.
    fn holds(self) -> Option<bool>;
}

impl Truth for bool {
    fn holds(self) -> Option<bool> {
        Some(self)
    }
}

impl Truth for u8 {
    fn holds(self) -> Option<bool> {
        match self {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Truth for f32 {
    fn holds(self) -> Option<bool> {
        if self == 0.0 {
            Some(false)
        } else if self == 1.0 {
            Some(true)
        } else {
            None
        }
    }
}
