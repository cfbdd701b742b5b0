"""The four services of the plane, and the chassis they run on."""
