-- It would be admitted: nothing has been written (decide.lua), and nothing is.

return answer(ADMITTED, 0, available - tonumber(ARGV[15]))
