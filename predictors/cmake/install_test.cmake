# Installs the SDK into a scratch prefix, builds predictors/examples/disk_full against it and loads the plugin. Run by ctest:
# cmake -DBUILD=... -DSOURCE=... -DWORK=... -DCXX=... -DHELPER=... -P install_test.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: ${status}\n${output}")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --component sdk)
run(${CMAKE_COMMAND} -S ${SOURCE}/predictors/examples/disk_full -B ${WORK}/build
    -DCMAKE_PREFIX_PATH=${WORK}/prefix -DCMAKE_CXX_COMPILER=${CXX})
run(${CMAKE_COMMAND} --build ${WORK}/build)
run(${HELPER} --check ${WORK}/build/disk_full.so)
file(REMOVE_RECURSE ${WORK})
