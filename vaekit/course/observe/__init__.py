"""What graded code may see of how it is judged: how answers become arrays. Nothing here knows what is right."""

from vaekit.course.observe.functions import VALUE as VALUE
from vaekit.course.observe.functions import Fault as Fault
from vaekit.course.observe.functions import observe as observe
from vaekit.course.observe.functions import told as told
