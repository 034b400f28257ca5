# The ROS packages on PyPI export include folders of the machine that built them, which CMake
# rejects as missing. Passed with CMAKE_PROJECT_INCLUDE; takes effect once all packages are found.
function(mx_drop_foreign_folders)
  get_property(targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(target IN LISTS targets)
    get_target_property(folders ${target} INTERFACE_INCLUDE_DIRECTORIES)
    if(folders)
      list(FILTER folders EXCLUDE REGEX "^/opt/python/")
      set_target_properties(${target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${folders}")
    endif()
  endforeach()
endfunction()

cmake_language(DEFER CALL mx_drop_foreign_folders)
