# Installs the SDK into a scratch prefix and builds plugins against nothing but that: the examples, and what
# `understudy predictor new` writes. Each must pass `understudy predictor check` and run over a trace. Run by ctest:
# cmake -DBUILD=... -DSOURCE=... -DWORK=... -DCC=... -DCXX=... -DHELPER=... -DCLI=... -P install_test.cmake
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    string(JOIN " " command ${ARGN})
    message(FATAL_ERROR "${command}: ${status}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

function(plugin name source)
  run(${CMAKE_COMMAND} -S ${source} -B ${WORK}/build/${name} -DCMAKE_PREFIX_PATH=${WORK}/prefix
      -DCMAKE_C_COMPILER=${CC} -DCMAKE_CXX_COMPILER=${CXX})
  run(${CMAKE_COMMAND} --build ${WORK}/build/${name})
  run(${HELPER} --check ${WORK}/build/${name}/${name}.so)
  run(${CLI} predictor check ${WORK}/build/${name}/${name}.so)
endfunction()

file(REMOVE_RECURSE ${WORK})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix --component sdk)
plugin(disk_full ${SOURCE}/predictors/examples/disk_full)
foreach(language c cpp)
  run(${CLI} predictor new fds_${language} --language ${language} --dir ${WORK}/fds_${language})
  file(STRINGS ${WORK}/fds_${language}/README.md leftover REGEX fd_growth)
  if(leftover)
    message(FATAL_ERROR "predictor new: the example's name is left over: ${leftover}")
  endif()
  plugin(fds_${language} ${WORK}/fds_${language})
  run(${CLI} predictor run ${WORK}/build/fds_${language}/fds_${language}.so ${WORK}/fds_${language}/trace.csv)
  # It warns while the descriptors grow and not before.
  if(NOT output MATCHES "\n +1[0-9][0-9] +OK +60 +0.0" OR NOT output MATCHES "\n +5[0-9][0-9] +OK +60 +0.9")
    message(FATAL_ERROR "predictor run: forecasts are not those expected:\n${output}")
  endif()
  # A folder with something in it is left alone.
  execute_process(COMMAND ${CLI} predictor new fds_${language} --dir ${WORK}/fds_${language}
    RESULT_VARIABLE status ERROR_VARIABLE output OUTPUT_QUIET)
  if(NOT status EQUAL 1 OR NOT output MATCHES "not empty")
    message(FATAL_ERROR "predictor new wrote over a folder: ${status} ${output}")
  endif()
endforeach()
file(REMOVE_RECURSE ${WORK})
