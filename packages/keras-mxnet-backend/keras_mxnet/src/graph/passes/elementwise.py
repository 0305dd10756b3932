"""Which operators work element by element."""

# Of one argument.
UNARY = frozenset(
    {
        "BlockGrad",
        "_npi_abs",
        "_npi_add_scalar",
        "_npi_clip",
        "_npi_exp",
        "_npi_expm1",
        "_npi_log",
        "_npi_log1p",
        "_npi_multiply_scalar",
        "_npi_negative",
        "_npi_power_scalar",
        "_npi_reciprocal",
        "_npi_rsubtract_scalar",
        "_npi_sign",
        "_npi_sqrt",
        "_npi_square",
        "_npi_subtract_scalar",
        "_npi_tanh",
        "_npi_true_divide_scalar",
        "_npi_equal_scalar",
        "_npi_greater_scalar",
        "_npi_greater_equal_scalar",
        "_npi_less_scalar",
        "_npi_less_equal_scalar",
        "_npi_maximum_scalar",
        "_npi_minimum_scalar",
        "_npx_activation",
        "_npx_cast",
        "_npx_leaky_relu",
        "_npx_relu",
        "_npx_sigmoid",
        "erf",
        "rsqrt",
    }
)

# Of two, with NumPy's broadcasting.
BINARY = frozenset(
    {
        "_npi_add",
        "_npi_equal",
        "_npi_greater",
        "_npi_greater_equal",
        "_npi_less",
        "_npi_less_equal",
        "_npi_maximum",
        "_npi_minimum",
        "_npi_multiply",
        "_npi_power",
        "_npi_subtract",
        "_npi_true_divide",
    }
)
