# Makes the C header of the agent's protocol from protocol.txt, which the agent reads as it is.
BEGIN { print "/* Made from protocol.txt. */" }
/^#/ || NF == 0 { next }
$1 == "call" { number[++calls] = $2; name[calls] = $3; request[calls] = $4; response[calls] = $5 }
$1 == "attribute" { attribute[++attributes] = $3 ", FORM_" toupper($2) "}, /* " $4 " */" }
$1 == "mechanism" { mechanism[++mechanisms] = $3 ", PARAMETER_" toupper($2) "}, /* " $4 " */" }
function types(column) { return column == "-" ? "" : column }
END {
  print "enum {"
  for (i = 1; i <= calls; i++) print "  CALL_" name[i] " = " number[i] ","
  print "};"
  print "static const struct { const char *request, *response; } SIGNATURES[] = {"
  for (i = 1; i <= calls; i++)
    print "  [" number[i] "] = {\"" types(request[i]) "\", \"" types(response[i]) "\"},"
  print "};"
  print "static const struct { unsigned long type; int form; } ATTRIBUTES[] = {"
  for (i = 1; i <= attributes; i++) print "  {" attribute[i]
  print "};"
  print "static const struct { unsigned long type; int form; } MECHANISMS[] = {"
  for (i = 1; i <= mechanisms; i++) print "  {" mechanism[i]
  print "};"
}
