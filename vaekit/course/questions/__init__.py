"""Questions, and the judging of answers by arrays alone. Nothing here knows of processes."""

from vaekit.course.questions.deep import TrainedDeep as TrainedDeep
from vaekit.course.questions.distribution_layer import DistributionLayer as DistributionLayer
from vaekit.course.questions.dynamics import FittedDynamics as FittedDynamics
from vaekit.course.questions.experiment import Experiment as Experiment
from vaekit.course.questions.function import Function as Function
from vaekit.course.questions.grey import TrainedGrey as TrainedGrey
from vaekit.course.questions.hierarchy import TrainedHierarchy as TrainedHierarchy
from vaekit.course.questions.layer import Layer as Layer
from vaekit.course.questions.mend import Mend as Mend
from vaekit.course.questions.model import TrainedVAE as TrainedVAE
from vaekit.course.questions.number import Number as Number
from vaekit.course.questions.objective import Objective as Objective
from vaekit.course.questions.pixels import TrainedPixels as TrainedPixels
from vaekit.course.questions.posterior import FittedPosterior as FittedPosterior
from vaekit.course.questions.prior import Prior as Prior
from vaekit.course.questions.question import Question as Question
from vaekit.course.questions.sentences import TrainedSentences as TrainedSentences
