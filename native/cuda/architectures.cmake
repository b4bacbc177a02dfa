# Refuses lists of CUDA architectures whose code would be wrong on a device that takes it. A device of compute capability 9.0 runs kernels with
# wgmma (has_wgmma() of kernels/launch.h), which are made for 90a alone: code for 90, or PTX that such a device compiles for itself, has none of
# them, and must not be what it is given.
foreach(architecture IN LISTS CMAKE_CUDA_ARCHITECTURES)
  if(NOT architecture MATCHES "^([0-9]+)([af]?)(-real|-virtual)?$")
    message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES has ${architecture}; expected numbers such as 80-real or 90a-real")
  endif()
  set(number ${CMAKE_MATCH_1})
  set(kind "${CMAKE_MATCH_2}")
  set(form "${CMAKE_MATCH_3}")
  if(number EQUAL 90 AND kind STREQUAL "" AND NOT form STREQUAL "-virtual")
    message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES has ${architecture}; expected 90a, of which Hopper's kernels are made")
  endif()
  if(number LESS_EQUAL 90 AND kind STREQUAL "" AND NOT form STREQUAL "-real" AND NOT CMAKE_CUDA_ARCHITECTURES MATCHES "(^|;)90a(-real)?(;|$)")
    message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES has ${architecture}, whose PTX Hopper would run; expected 90a-real beside it")
  endif()
endforeach()
